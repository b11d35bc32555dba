"""Guards: the one place that knows what may be said of a figure.

Every command and every page asks here, and nobody else writes such sentences. A sentence is a
caution: something without which a figure must not be read. Cautions stand above the figure in every
output, under the key `cautions` in every JSON, and in the metadata of the kept answers.

- `pictures.py`: whether the tested pictures had a part in making the network.
- `comparisons.py`: how many seeds a comparison rests on, and whether two runs answered alike.
- `cautions.py`: how the network and its confidence came about; how cautions are joined and refused.
"""
