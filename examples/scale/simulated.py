"""A scale that is not there: says its weight twice a second on a pty. Usage: simulated.py PATH"""
import os, pty, sys, time, tty

master, slave = pty.openpty()
tty.setraw(slave)
path = sys.argv[1]
if os.path.islink(path):
    os.unlink(path)
os.symlink(os.ttyname(slave), path)
grams = 12345
while True:
    os.write(master, f"ST,GS,+{grams / 1000:8.3f}kg\r\n".encode())
    grams += 5
    time.sleep(0.5)
