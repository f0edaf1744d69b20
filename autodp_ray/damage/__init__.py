"""Known damage that is planted into clean rows, to train and test on."""
