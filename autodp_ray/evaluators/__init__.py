"""What a strategy's score r is: a family of evaluators, one file and one word each."""
