"""The rooms behind `stormswarm_utils`, which is the module to read and to import."""
