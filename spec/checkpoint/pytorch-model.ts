/** The model of spec/fixtures/pytorch.py: the same attributes, in camelCase. */
import { init, NDArray, nn, ops, type Tensor } from "thimble";

type ModelOptions = Pick<nn.ModuleOptions, "device">;

class Head extends nn.Module {
  readonly weight: nn.Parameter;
  readonly bias: nn.Parameter;

  constructor(weight: nn.Parameter) {
    super();
    this.weight = weight;
    this.bias = new nn.Parameter(NDArray.zeros([4], { device: weight.device }));
  }

  forward(x: Tensor): Tensor {
    return ops.linear(x, this.weight.transpose(), this.bias);
  }
}

export class Model extends nn.Module {
  readonly stem: nn.Sequential;
  readonly rows: nn.Sequential;
  readonly embedding: nn.Embedding;
  readonly places: nn.Parameter;
  readonly scale: nn.Buffer;
  readonly layers: nn.TransformerEncoderLayer[];
  readonly finalNorm: nn.LayerNorm;
  readonly crossAttention: nn.MultiheadAttention;
  readonly head: Head;
  readonly rnn: nn.RNN;
  readonly lstm: nn.LSTM;
  readonly gru: nn.GRU;
  readonly rnnCell: nn.RNNCell;
  readonly lstmCell: nn.LSTMCell;
  readonly gruCell: nn.GRUCell;

  constructor(options: ModelOptions = {}) {
    super();
    this.stem = new nn.Sequential(
      new nn.Conv(4, 4, 4, { padding: 1, ...options }),
      new nn.BatchNorm2d(4, options),
      new nn.ReLU(),
      new nn.ConvTranspose(4, 4, 4, { stride: 2, padding: 1, ...options }),
    );
    this.rows = new nn.Sequential(
      new nn.Linear(4, 4, { bias: false, ...options }),
      new nn.BatchNorm1d(4, options),
      new nn.Linear(4, 4, options),
    );
    this.embedding = new nn.Embedding(4, 4, options);
    this.places = new nn.Parameter(init.zeros([4, 4], options));
    this.scale = this.buffer(NDArray.zeros([4, 4], options));
    const layer = (own: nn.TransformerEncoderLayerOptions) =>
      new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 4, ...own, ...options });
    this.layers = [layer({}), layer({ activation: "gelu", normFirst: true })];
    this.finalNorm = new nn.LayerNorm(4, options);
    this.crossAttention = new nn.MultiheadAttention(4, 2, options);
    this.head = new Head(this.embedding.weight);
    this.rnn = new nn.RNN(4, 4, { numLayers: 2, nonlinearity: "relu", ...options });
    this.lstm = new nn.LSTM(4, 4, { numLayers: 2, bidirectional: true, ...options });
    this.gru = new nn.GRU(4, 4, { numLayers: 2, batchFirst: true, bidirectional: true, bias: false, ...options });
    this.rnnCell = new nn.RNNCell(4, 4, options);
    this.lstmCell = new nn.LSTMCell(4, 4, options);
    this.gruCell = new nn.GRUCell(4, 4, options);
  }

  forward(images: Tensor, rows: Tensor, ids: Tensor): Record<string, Tensor> {
    const embedded = this.embedding.forward(ids);
    const start = embedded.mul(this.scale).add(this.places);
    const x = this.finalNorm.forward(this.layers.reduce((y, layer) => layer.forward(y), start));
    const attention = this.crossAttention.forward(x, embedded, x);
    const [rnn, rnnH] = this.rnn.forward(x);
    const [lstm, [lstmH, lstmC]] = this.lstm.forward(x);
    const [gru, gruH] = this.gru.forward(x);
    const [lstmCellH, lstmCellC] = this.lstmCell.forward(rows, [rows, rows]);
    return {
      stem: this.stem.forward(images),
      rows: this.rows.forward(rows),
      layers: x,
      attention,
      head: this.head.forward(attention),
      rnn,
      rnnH,
      lstm,
      lstmH,
      lstmC,
      gru,
      gruH,
      lstmCellH,
      lstmCellC,
      rnnCell: this.rnnCell.forward(rows, rows),
      gruCell: this.gruCell.forward(rows, rows),
    };
  }
}
