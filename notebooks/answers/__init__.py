"""The answers of the notebooks: one module a notebook, one function an answer.

Each takes what the cells above it computed and returns the paragraph under the figure. A number in
an answer comes from there, never from the text. Read one where you want to know how a figure of a
paragraph is made; 06, but for one, and 08 have theirs from `merclip_lib.study` and
`merclip_lib.scores`.
"""
