# docker build -t tflite-cluster . && docker run --rm -v "$PWD:/models" tflite-cluster model.tflite smaller.tflite
FROM python:3.12-slim
COPY . /source
RUN pip install --no-cache-dir '/source[all]' && rm -r /source
WORKDIR /models
ENTRYPOINT ["tflite-cluster"]
