"""stub"""


def draw(r, f):
    return "<html></html>"
