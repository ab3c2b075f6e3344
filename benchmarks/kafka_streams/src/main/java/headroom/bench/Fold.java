package headroom.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.time.LocalDate;
import java.time.temporal.IsoFields;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;

/**
 * The peer Kafka Streams: a table of deals, grouped into cells and aggregated, as its documentation has it.
 *
 * <p>Arguments: bootstrap, topic, events, partitions, application id, state folder. The table's old row is subtracted
 * from its group and its new one added, so the groups hold what the cells hold, in far fewer columns and without their
 * largest members. A deal counts in one group, by its first line; the number of groups is that of our cells, for the
 * group's name holds the deal's partition. Prints one JSON object: events, seconds from the first event read to the
 * last one aggregated, seconds of CPU, and groups.
 */
public final class Fold {
  private static final int QUIET_MS = 3000;

  @JsonIgnoreProperties(ignoreUnknown = true)
  public static final class Line {
    public String product = "";
    public double quantity;
    public double amount;
  }

  @JsonIgnoreProperties(ignoreUnknown = true)
  public static final class Deal {
    public String stage = "";
    public String close;
    public boolean custom;
    public String segment = "";
    public List<Line> lines = List.of();
  }

  public static final class Sums {
    public long count;
    public double quantity;
    public double amount;

    Sums plus(Deal deal, int sign) {
      count += sign;
      for (Line line : deal.lines) {
        quantity += sign * line.quantity;
        amount += sign * line.amount;
      }
      return this;
    }
  }

  private static final ObjectMapper JSON =
      new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);

  private final AtomicLong read = new AtomicLong();
  private final AtomicLong aggregated = new AtomicLong();
  private volatile long first;
  private volatile long last;
  private volatile double worked;

  private static <T> Serde<T> json(Class<T> type) {
    ObjectReader reader = JSON.readerFor(type);
    ObjectWriter writer = JSON.writerFor(type);
    return Serdes.serdeFrom(
        (topic, value) -> {
          try {
            return value == null ? null : writer.writeValueAsBytes(value);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        },
        (topic, bytes) -> {
          try {
            return bytes == null ? null : reader.readValue(bytes);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        });
  }

  private Serde<Deal> counted(Serde<Deal> serde, String topic) {
    Deserializer<Deal> inner = serde.deserializer();
    return Serdes.serdeFrom(
        serde.serializer(),
        (name, bytes) -> {
          // The same serde also reads the table's store and changelog, which are other topics.
          if (name.equals(topic) && read.getAndIncrement() == 0) {
            worked = cpu();
            first = System.nanoTime();
          }
          return inner.deserialize(name, bytes);
        });
  }

  private Sums change(Sums sums, Deal deal, int sign) {
    aggregated.incrementAndGet();
    last = System.nanoTime();
    return sums.plus(deal, sign);
  }

  private static String group(String key, Deal deal, int partitions) {
    LocalDate close = LocalDate.parse(deal.close);
    int week = close.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR);
    String product = deal.lines.isEmpty() ? "" : deal.lines.get(0).product;
    int part = Math.floorMod(key.hashCode(), partitions);
    return part + "/" + product + "/" + deal.segment + "/" + deal.custom + "/" + deal.stage + "/"
        + close.get(IsoFields.WEEK_BASED_YEAR) + "-W" + week + "/" + deal.close.substring(0, 7);
  }

  private static double cpu() {
    var bean = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return bean.getProcessCpuTime() / 1e9;
  }

  private void run(String bootstrap, String topic, long events, int partitions, String id, String folder)
      throws InterruptedException {
    Serde<Deal> deals = json(Deal.class);
    StreamsBuilder builder = new StreamsBuilder();
    var groups = new java.util.concurrent.ConcurrentHashMap<String, Boolean>();
    builder
        .table(topic, Consumed.with(Serdes.String(), counted(deals, topic)))
        .groupBy(
            (key, deal) -> KeyValue.pair(group(key, deal, partitions), deal),
            Grouped.with(Serdes.String(), deals))
        .aggregate(
            Sums::new,
            (key, deal, sums) -> {
              groups.put(key, Boolean.TRUE);
              return change(sums, deal, 1);
            },
            (key, deal, sums) -> change(sums, deal, -1),
            Materialized.with(Serdes.String(), json(Sums.class)));
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    settings.put("auto.offset.reset", "earliest");
    try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
      streams.start();
      long deadline = System.nanoTime() + Duration.ofSeconds(240).toNanos();
      while (!(read.get() >= events && System.nanoTime() - last > QUIET_MS * 1_000_000L)) {
        if (System.nanoTime() > deadline || streams.state() == KafkaStreams.State.ERROR) {
          throw new IllegalStateException(
              "read " + read.get() + " of " + events + " events, state " + streams.state());
        }
        Thread.sleep(100);
      }
      double seconds = (last - first) / 1e9;
      double spent = cpu() - worked;
      System.out.printf(
          "{\"events\": %d, \"seconds\": %s, \"cpu\": %s, \"groups\": %d, \"aggregated\": %d}%n",
          events, seconds, spent, groups.size(), aggregated.get());
      streams.close(Duration.ofSeconds(10));
    }
  }

  public static void main(String[] given) throws InterruptedException {
    new Fold()
        .run(given[0], given[1], Long.parseLong(given[2]), Integer.parseInt(given[3]), given[4], given[5]);
  }
}
