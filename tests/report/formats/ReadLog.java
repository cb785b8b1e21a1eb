import java.io.File;
import java.util.Map;
import java.util.TreeMap;
import org.HdrHistogram.EncodableHistogram;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramLogReader;

/** Prints what HdrHistogram's own reader makes of logs: percentiles by tag, then the distribution of what has none. */
class ReadLog {
    public static void main(String[] files) throws Exception {
        for (String file : files) {
            read(new File(file));
            System.out.println("end");
        }
    }

    private static void read(File file) throws Exception {
        Map<String, Histogram> sums = new TreeMap<>();
        HistogramLogReader reader = new HistogramLogReader(file);
        while (reader.hasNext()) {
            EncodableHistogram one = reader.nextIntervalHistogram();
            if (one != null) {
                String tag = one.getTag() == null ? "" : one.getTag();
                sums.computeIfAbsent(tag, name -> new Histogram(1000, 3_600_000_000_000L, 3)).add((Histogram) one);
            }
        }
        for (Map.Entry<String, Histogram> one : sums.entrySet()) {
            System.out.print(one.getKey() + "\t" + one.getValue().getTotalCount());
            for (double percent : new double[] {50, 75, 90, 95, 99, 99.9, 100}) {
                System.out.print("\t" + one.getValue().getValueAtPercentile(percent));
            }
            System.out.println();
        }
        System.out.println("start\t" + reader.getStartTimeSec());
        sums.getOrDefault("", new Histogram(3)).outputPercentileDistribution(System.out, 5, 1_000_000.0);
    }
}
