"""What the network does: signals through the layers measured, named when they are ill, and a cure tried."""
