"""What a run has done and how well: metrics, conformers, status, report and export.

Reads run folders and arrays; nothing here changes a run.
"""
