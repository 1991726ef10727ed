"""Data sets: real ones where they are, else ones that we make, and always said which.

Real data are files below the folder that the environment variable AIGA_DATA names; nothing is downloaded.

| folder | files | read by | without them |
|---|---|---|---|
| `omniglot` | `omniglot28.npz`, or `images_background.zip` and `images_evaluation.zip` | `omniglot` | drawn ones |
| `mnist` | `mnist_small.npz`, or MNIST's four IDX files, `.gz` or not | `images.digits` | drawn ones |
| `cifar-10-batches-bin`, `cifar-100-binary` | those of the binary versions | `images.objects` | textures |
| `text` | `train.txt`, `valid.txt`, `test.txt`, or `input.txt` | `text` | the next two |
| `ptb` | `ptb.train.txt`, `ptb.valid.txt`, `ptb.test.txt` | `text` | the next |
| `tinyshakespeare` | `input.txt` | `text` | text of a grammar |
"""
