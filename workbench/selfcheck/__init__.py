"""What measuring costs on this machine, and how small a difference it can show: `llm-workbench selfcheck`.

`run` goes through the parts; `load` is the work that is run and its arms; `trials` runs one trial and reads its
figures; `turns` compares telemetry on and off within one; `blocks` makes intervals of them; `window` opens a window
for the arm that has one; `instruments` asks the engines' floor about clocks and sensors; `result` is what is stored;
`words` says it. No Qt.
"""
