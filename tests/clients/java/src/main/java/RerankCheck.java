import com.google.rpc.BadRequest;
import io.github.rerankservice.v1.Document;
import io.github.rerankservice.v1.DocumentChunk;
import io.github.rerankservice.v1.GetModelRequest;
import io.github.rerankservice.v1.ListModelsRequest;
import io.github.rerankservice.v1.RerankGrpc;
import io.github.rerankservice.v1.RerankHeader;
import io.github.rerankservice.v1.RerankRequest;
import io.github.rerankservice.v1.RerankResponse;
import io.github.rerankservice.v1.RerankStreamRequest;
import io.github.rerankservice.v1.RerankStreamResponse;
import io.github.rerankservice.v1.Result;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Calls a running server as a Java program would, and fails at the first wrong response. */
public final class RerankCheck {
  private static final String QUERY = "capital of France";
  private static final List<String> DOCUMENTS =
      List.of(
          "Rome is the capital of Italy.", "Paris is the capital of France.", "Bread is made of flour and water.");
  private static final List<Integer> ORDER = List.of(1, 0, 2);

  private final RerankGrpc.RerankBlockingStub stub;
  private final RerankGrpc.RerankStub streaming;
  private final HealthGrpc.HealthBlockingStub health;
  private int passed;

  private RerankCheck(Channel channel) {
    stub = RerankGrpc.newBlockingStub(channel);
    streaming = RerankGrpc.newStub(channel);
    health = HealthGrpc.newBlockingStub(channel);
  }

  public static void main(String[] arguments) throws Exception {
    // the address is host:port. For TLS, leave out usePlaintext
    ManagedChannel channel =
        ManagedChannelBuilder.forTarget(System.getenv("CLIENTS_GRPC"))
            .usePlaintext()
            .maxInboundMessageSize(64 << 20) // by default 4 MiB, which many returned documents exceed
            .keepAliveTime(30, TimeUnit.SECONDS)
            .build();
    try {
      RerankCheck check = new RerankCheck(withKey(channel, System.getenv("CLIENTS_KEY")));
      check.ranks();
      check.ranksStream();
      check.listsModels();
      check.errorsHaveTheirStatus(withKey(channel, "wrong"));
      check.isHealthy();
      System.out.println(check.passed + " passed, 0 failed");
    } finally {
      channel.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
    }
  }

  /** Send an API key with each call. */
  private static Channel withKey(Channel channel, String key) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
    return ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  private static RerankRequest.Builder request() {
    RerankRequest.Builder request = RerankRequest.newBuilder().setQuery(QUERY);
    for (int position = 0; position < DOCUMENTS.size(); position++) {
      request.addDocuments(Document.newBuilder().setText(DOCUMENTS.get(position)).setId("id-" + position));
    }
    return request;
  }

  private RerankGrpc.RerankBlockingStub timely() {
    return stub.withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  private void ranks() {
    RerankResponse response = timely().rerank(request().setReturnDocuments(true).build());
    expect("order", ORDER, indexes(response));
    for (Result result : response.getResultsList()) {
      expect("id", "id-" + result.getIndex(), result.getId());
      expect("document", DOCUMENTS.get(result.getIndex()), result.getDocument().getText());
    }
    expect("pairs", 3L, response.getUsage().getPairs());
    expect("top_n", ORDER.subList(0, 2), indexes(timely().rerank(request().setTopN(2).build())));
    double second = response.getResults(1).getRelevanceScore();
    expect("min_score", ORDER.subList(0, 2), indexes(timely().rerank(request().setMinScore(second).build())));
  }

  private void ranksStream() throws Exception {
    CompletableFuture<List<Integer>> ranking = new CompletableFuture<>();
    StreamObserver<RerankStreamRequest> sender =
        streaming.withDeadlineAfter(30, TimeUnit.SECONDS).rerankStream(new RankingReceiver(ranking));
    RerankHeader header = RerankHeader.newBuilder().setRequest(RerankRequest.newBuilder().setQuery(QUERY)).build();
    sender.onNext(RerankStreamRequest.newBuilder().setHeader(header).build());
    for (Document document : request().getDocumentsList()) {
      DocumentChunk chunk = DocumentChunk.newBuilder().addDocuments(document).build();
      sender.onNext(RerankStreamRequest.newBuilder().setDocuments(chunk).build());
    }
    sender.onCompleted();
    expect("order of the stream", ORDER, ranking.get(30, TimeUnit.SECONDS));
  }

  private void listsModels() {
    String name = timely().listModels(ListModelsRequest.getDefaultInstance()).getModels(0).getName();
    expect("model", name, timely().getModel(GetModelRequest.newBuilder().setName(name).build()).getName());
  }

  private void errorsHaveTheirStatus(Channel wrongKey) throws Exception {
    StatusRuntimeException error =
        failure(Status.Code.INVALID_ARGUMENT, () -> timely().rerank(request().setQuery("").build()));
    BadRequest details = StatusProto.fromThrowable(error).getDetails(0).unpack(BadRequest.class);
    expect("field", "query", details.getFieldViolations(0).getField());
    failure(Status.Code.NOT_FOUND, () -> timely().rerank(request().setModel("no-such-model").build()));
    failure(
        Status.Code.DEADLINE_EXCEEDED,
        () -> stub.withDeadlineAfter(1, TimeUnit.NANOSECONDS).rerank(request().build()));
    failure(Status.Code.UNAUTHENTICATED, () -> RerankGrpc.newBlockingStub(wrongKey).rerank(request().build()));
  }

  private void isHealthy() {
    HealthCheckRequest request = HealthCheckRequest.newBuilder().setService(RerankGrpc.SERVICE_NAME).build();
    expect("health", ServingStatus.SERVING, health.check(request).getStatus());
  }

  private StatusRuntimeException failure(Status.Code code, Runnable call) {
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      expect("status", code, error.getStatus().getCode());
      return error;
    }
    throw new AssertionError("no " + code);
  }

  private static List<Integer> indexes(RerankResponse response) {
    List<Integer> indexes = new ArrayList<>();
    response.getResultsList().forEach(result -> indexes.add(result.getIndex()));
    return indexes;
  }

  private void expect(String name, Object expected, Object actual) {
    if (!expected.equals(actual)) throw new AssertionError(name + ": " + actual + " instead of " + expected);
    passed++;
  }

  /** Collects the final ranking of a stream, which may come in several messages. */
  private static final class RankingReceiver implements StreamObserver<RerankStreamResponse> {
    private final List<Integer> indexes = new ArrayList<>();
    private final CompletableFuture<List<Integer>> ranking;

    private RankingReceiver(CompletableFuture<List<Integer>> ranking) {
      this.ranking = ranking;
    }

    @Override
    public void onNext(RerankStreamResponse response) {
      indexes.addAll(indexes(response.getRanking()));
    }

    @Override
    public void onError(Throwable error) {
      ranking.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
      ranking.complete(indexes);
    }
  }
}
