"""What is measured: `run` and `peers` time the helper, `cluster` dask, `record` the page's jobs.

`networks` times variants of networks that other people have made, and `survival` tries what becomes
of the other jobs when one goes wrong. `common` is shared by all, and `dask_cluster` by `cluster`
and the tests.
"""
