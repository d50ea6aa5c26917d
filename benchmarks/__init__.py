"""What is measured: `run` times the helper, `cluster` dask, `record` the page's job sets."""
