"""The engine: owns the mechanics of training, once, for any number of phases."""
