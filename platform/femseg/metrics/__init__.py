"""How well a predicted mask matches its reference: overlap, distance, volume."""
