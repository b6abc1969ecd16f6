"""Training on more than one device: several devices of one machine, or several machines."""
