"""What a trained network does, and why: figures, and a report of them.

`explain.reading` follows it through images, `explain.gradients` follows the gradients back,
`explain.gates` takes its gates away, `explain.mistakes` asks what it does not know, and
`explain.report` puts what they draw on one page.
"""
