%% Echoes messages, with gen_tcp.
%%
%%   escript echo.erl listen FRAMING          prints its port, and serves until it is killed
%%   escript echo.erl connect PORT FRAMING    makes two connections, one after the other
%%
%% At the message "bye" it ends its side, reads on to the end and prints how many
%% messages came after it. At the end without one it sends "end" and closes.
-mode(compile).

%% In a line, the longest that fits; longer ones come in parts.
-define(LIMIT, 16 * 1024 * 1024).

main(["listen", Framing]) ->
    {ok, Listener} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}} | options(Framing)]),
    {ok, Port} = inet:port(Listener),
    io:format("~b~n", [Port]),
    serve(Listener, Framing);
main(["connect", Port, Framing]) ->
    lists:foreach(
        fun(_) ->
            {ok, Socket} = gen_tcp:connect(
                {127, 0, 0, 1}, list_to_integer(Port), options(Framing)
            ),
            echo(Socket, Framing)
        end,
        [1, 2]
    ).

options("line") -> [{packet, line}, {buffer, ?LIMIT} | options()];
options(Size) -> [{packet, list_to_integer(Size)} | options()].

options() -> [binary, {active, false}, {exit_on_close, false}, {nodelay, true}].

serve(Listener, Framing) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    echo(Socket, Framing),
    serve(Listener, Framing).

%% Of the framings only lines keep their end.
message(Text, "line") -> <<Text/binary, "\n">>;
message(Text, _) -> Text.

echo(Socket, Framing) ->
    Bye = message(<<"bye">>, Framing),
    case gen_tcp:recv(Socket, 0) of
        {ok, Bye} ->
            ok = gen_tcp:shutdown(Socket, write),
            io:format("~b~n", [count(Socket, 0)]),
            ok = gen_tcp:close(Socket);
        {ok, Message} ->
            ok = gen_tcp:send(Socket, Message),
            echo(Socket, Framing);
        {error, closed} ->
            ok = gen_tcp:send(Socket, message(<<"end">>, Framing)),
            ok = gen_tcp:close(Socket)
    end.

count(Socket, Count) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, _} -> count(Socket, Count + 1);
        {error, closed} -> Count
    end.
