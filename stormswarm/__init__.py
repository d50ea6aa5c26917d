"""The rooms behind stormswarm_utils; see there."""
