"""What is measured: `run` and `peers` time the helper, `cluster` dask, `record` the page's jobs.

`survival` tries what becomes of the other jobs when one goes wrong, and `common` is shared by all.
"""
