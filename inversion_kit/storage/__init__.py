"""Results on disk: whole or not there, checked when read, opened lazily, exported.

What it is safe against. A process that is killed at any point, a disk that gets full and an error
of the system while writing: everything is written under a temporary name and made visible by one
rename, so that the old state is there or the new one. Files that rot, are cut or get lost: each has
its size and sha256 written down beside it, is checked before it is used, and is named when it does
not fit. Files made to do harm: JSON is parsed strictly, sizes are bounded before memory is taken,
links and devices are not followed, nothing is unpickled, no codec runs that zarr's own results do
not need, and text never becomes a path; what is wrong is a `StoreError` or `SchemaError`. It is not
made against a loss of power, after which the newest files may be lost or named as damaged, nor
against somebody who forges data and hashes together and lies within the schema.
"""
