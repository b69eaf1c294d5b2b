"""The data every part shares: frozen values, no behaviour that touches the world."""
