"""Many labels, arms and seeds of one classifier: `audit`, its plan, its units, its workers."""
