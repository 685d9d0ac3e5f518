"""Writes the tables of ``docs/`` that are made from the files of the benches, as `lab page` does, and no picture
but that of the sweeps:

``python -m concept_atelier.tools.build_tables``
"""

from .pages.page import write_tables

if __name__ == "__main__":
    write_tables()
