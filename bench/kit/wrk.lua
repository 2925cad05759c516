-- wrk -s wrk.lua URL DEPTH: DEPTH requests are sent at once on each connection.
function init(args)
  local depth = tonumber(args[1])
  if depth > 1 then -- wrk's own request is faster than a function
    local many = string.rep(wrk.format(), depth)
    request = function() return many end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"bytes_received":%d,"seconds":%.3f,' ..
    '"latency_us":{"p50":%.1f,"p90":%.1f,"p99":%.1f,"p999":%.1f,"max":%.1f},' ..
    '"errors":{"connect":%d,"closed":%d,"status":%d,"unanswered":%d}}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max,
    errors.connect, errors.read + errors.write, errors.status, errors.timeout))
end
