"""Exchange Web Services, spoken through exchangelib: the adapter for Exchange Server and, where the
tenant still allows it, Exchange Online."""
