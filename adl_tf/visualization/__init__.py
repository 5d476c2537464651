"""Pictures for people: architectures, alpha and beta, predictions. No TensorFlow, no pyplot."""
