"""The operator's command and the embedded runtime; services never import it."""
