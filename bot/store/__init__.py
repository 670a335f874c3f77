"""What must outlive the process: the queue, the ledger, the library of videos, upload tickets, and keys."""
