"""`commonwatt`, with a history that writes in small pieces, so that it can be killed between and within many."""

import history.service
from commonwatt.cli import main

history.service._ROWS = 1500  # type: ignore[misc]

if __name__ == "__main__":
    main()
