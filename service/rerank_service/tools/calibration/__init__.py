"""From logits to scores that mean something on somebody's labels. `curve` is all that serving needs; the rest fits."""
