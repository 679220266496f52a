"""How a folder of studies is laid out: one adapter for each known layout, all with the contract of `adapter`."""
