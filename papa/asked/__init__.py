"""The commands, by what they are about; L{papa.commands} has them all."""
