"""Drawing: stored charts (`chart_view`), live series (`stack`) and the decimation both lean on.

pyqtgraph is imported by the modules of this package, so import them only after the window has painted.
"""
