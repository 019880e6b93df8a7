-- wrk connects to the one host of its URL. This gives each connection the next of many loopback
-- addresses, so that no pair of address and port runs out of ephemeral ports. The look-ups are
-- made once, before the first request; choosing the next address costs well under a microsecond.
-- Arguments: the pause of a connection between two requests in milliseconds, how many addresses,
-- then the ports.
local addresses, request_text, pause, turn = {}, "", 0, 0

function init(args)
  pause = tonumber(args[1])
  for index = 0, tonumber(args[2]) - 1 do
    local host = string.format("127.%d.%d.%d", 1 + math.floor(index / 62500),
      math.floor(index / 250) % 250, 1 + index % 250)
    addresses[index + 1] = wrk.lookup(host, args[3 + index % (#args - 2)])[1]
  end
  request_text = wrk.format("GET", "/healthz/ready", { ["Connection"] = "close" })
end

function delay()
  return pause
end

function request()
  turn = turn % #addresses + 1
  wrk.thread.addr = addresses[turn]
  return request_text
end
