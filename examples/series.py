"""Who is speaking? A recurrent network tells nine speakers apart by series of unequal lengths."""

import fourfold as ff

model = ff.train("rnn", "vowels", epochs=20, activation="tanh", hidden_size=64)
print(f"{model.metrics['test']['accuracy']:.1%} of {model.metrics['test']['count']} utterances of the test split")
for speaker, figures in model.metrics["test"]["classes"].items():
    print(f"speaker {speaker}: recall {figures['recall']:.1%}")
