TECHNIQUES: tuple[()] = ()
