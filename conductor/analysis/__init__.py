"""What plays the decision through: simulation, replay, forecast, price."""
