# bcjax serve in a container, from a checkout: docker build -t bcjax -f launch/serve.Dockerfile .
FROM python:3.11-slim
COPY . /src
RUN pip install --no-cache-dir -c /src/.ci/constraints.txt '/src[serve,export]' && rm -rf /src
ENV HOME=/tmp
USER 1000
EXPOSE 8080
ENTRYPOINT ["bcjax"]
CMD ["serve", "--workdir=cells=/mnt/models", "--host=0.0.0.0", "--port=8080"]
