"""A corpus of broken zips, made by code, each with the exact problems that the console must name.

A module a subject, each with CASES: what is wrong with the zip, how it is made, and every error and warning that the
report must have, with code, file and words that say how to mend it. `good` holds odd zips with nothing wrong.
"""
