-- Asks blackbox_exporter for the next address and port at every request, as Prometheus asks.
-- Arguments: the pause of a connection between two requests in milliseconds, how many addresses,
-- the module and the path, then the ports.
local requests, pause, turn = {}, 0, 0

function init(args)
  local headers = {
    ["Accept"] = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ["Accept-Encoding"] = "gzip",
    ["X-Prometheus-Scrape-Timeout-Seconds"] = "10",
  }
  pause = tonumber(args[1])
  for index = 0, tonumber(args[2]) - 1 do
    local target = string.format("127.%d.%d.%d:%s%s", 1 + math.floor(index / 62500),
      math.floor(index / 250) % 250, 1 + index % 250, args[5 + index % (#args - 4)], args[4])
    requests[index + 1] = wrk.format("GET",
      "/probe?module=" .. args[3] .. "&target=" .. target, headers)
  end
end

function delay()
  return pause
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
