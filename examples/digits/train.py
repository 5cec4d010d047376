"""Train a small neural network on scikit-learn's handwritten digits and track it with Fathom.

On a platform: `fathom run -f spec.yaml`. Without one: `python train.py`, which writes to `fathom-offline/`.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import fathom

CLASSES = np.arange(10)
CELL = 44
MARGIN = 56
DARK = 0.5


def main() -> None:
    options = parse_arguments()
    fathom.log_params(vars(options))
    fathom.set_tag("dataset", "scikit-learn digits")

    images, labels = load_digits(return_X_y=True)
    train_x, valid_x, train_y, valid_y = train_test_split(
        images / 16.0, labels, test_size=0.25, stratify=labels, random_state=options.seed
    )
    model = MLPClassifier(
        hidden_layer_sizes=(options.hidden,),
        learning_rate_init=options.lr,
        batch_size=options.batch,
        random_state=options.seed,
    )

    for epoch in range(1, options.epochs + 1):
        started = time.perf_counter()
        model.partial_fit(train_x, train_y, classes=CLASSES)
        metrics = {
            **score(model, train_x, train_y, "train"),
            **score(model, valid_x, valid_y, "valid"),
        }
        fathom.log_metrics(metrics, step=epoch)
        print(
            f"epoch {epoch:2d}/{options.epochs}  "
            f"loss {metrics['train_loss']:.4f} / {metrics['valid_loss']:.4f}  "
            f"accuracy {metrics['train_accuracy']:.4f} / {metrics['valid_accuracy']:.4f}  "
            f"{(time.perf_counter() - started) * 1000:.0f} ms",
            flush=True,
        )
        time.sleep(options.pause)

    with TemporaryDirectory() as folder:
        picture = Path(folder) / "confusion-matrix.png"
        draw_confusion_matrix(confusion_matrix(valid_y, model.predict(valid_x), labels=CLASSES), picture)
        fathom.log_artifact(picture)

        file = Path(folder) / "model.joblib"
        joblib.dump(model, file)
        fathom.log_artifact(file)
    print(f"done: validation accuracy {metrics['valid_accuracy']:.4f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.003, help="learning rate")
    parser.add_argument("--hidden", type=int, default=64, help="hidden units")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pause", type=float, default=0.15, help="seconds to rest after an epoch, to watch it live")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    return options


def score(model: MLPClassifier, images: np.ndarray, labels: np.ndarray, prefix: str) -> dict[str, float]:
    chances = model.predict_proba(images)
    return {
        f"{prefix}_loss": log_loss(labels, chances, labels=CLASSES),
        f"{prefix}_accuracy": accuracy_score(labels, CLASSES[chances.argmax(axis=1)]),
    }


def draw_confusion_matrix(matrix: np.ndarray, path: Path) -> None:
    """Rows are the true digits, columns the predicted ones; the darker, the more."""
    side = MARGIN + CELL * len(CLASSES) + 16
    image = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=15)
    pen.text((side / 2, 14), "predicted", fill="#44546a", font=font, anchor="mm")
    for digit in CLASSES:
        middle = MARGIN + CELL * (digit + 0.5)
        pen.text((middle, MARGIN - 14), str(digit), fill="#44546a", font=font, anchor="mm")
        pen.text((MARGIN - 14, middle), str(digit), fill="#44546a", font=font, anchor="mm")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for row, column in np.ndindex(*matrix.shape):
        left, top = MARGIN + CELL * column, MARGIN + CELL * row
        share = float(shares[row, column]) ** 0.5
        shade = tuple(round(255 + (target - 255) * share) for target in (11, 94, 102))
        pen.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=shade)
        if matrix[row, column]:
            color = "white" if share > DARK else "#1f2a37"
            place = (left + CELL / 2, top + CELL / 2)
            pen.text(place, str(matrix[row, column]), fill=color, font=font, anchor="mm")
    image.save(path)


if __name__ == "__main__":
    main()
