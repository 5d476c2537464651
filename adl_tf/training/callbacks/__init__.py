"""What happens around the steps and epochs of `fit`, one Keras callback per module."""
