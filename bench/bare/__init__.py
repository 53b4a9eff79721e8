"""What papa is measured against, and with: programs that run in processes of their own."""
