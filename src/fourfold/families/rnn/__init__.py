"""The recurrent network: classes of series of any length."""
