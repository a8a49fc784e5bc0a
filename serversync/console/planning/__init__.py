"""Pages of what is planned: appointments, series, service activities, tasks, calls, letters, faxes."""
