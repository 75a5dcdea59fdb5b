"""The live page: the runs of a store in a browser, while they train and after.

Everything that is shown is computed by the rooms below, as for the pages of `report`: a verdict is the object of
`comparison`, an anatomy that of `anatomy`. Here it is found, laid out and sent.
"""
