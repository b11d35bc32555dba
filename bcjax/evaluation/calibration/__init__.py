"""What a network's confidence is worth, fitted on pictures that were held out of its training."""
