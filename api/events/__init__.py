"""What happened: appended in the transaction of the change, replayed and streamed to whoever watches."""
